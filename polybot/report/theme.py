"""The look of the page: one style sheet inside the file, nothing loaded.

Owns typography, spacing, colours (from the palette of the pictures, light and dark), the layout at phone and desktop
width, and print.  No script: what unfolds is <details>.  Called by polybot.report.page.
"""

from polybot.report.canvas import COLORS

__all__ = ["style_sheet"]

# Whole-page tones that no picture uses: name, light, dark.
_TONES = (
    ("page", "#f4f6f8", "#0f1216"),
    ("tint", "#f7f9fa", "#1d2228"),
    ("shade", "#00000026", "#ffffff26"),  # at the edge of a table that goes on
    ("warn-paper", "#fff6e6", "#2b2210"),
    ("warn-rule", "#e3a83b", "#8f6a1f"),
    ("info-paper", "#eef5fb", "#13222f"),
)

_SHEET = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 var(--font);
font-variant-numeric:tabular-nums lining-nums}
main,header,footer{max-width:1240px;margin:0 auto;padding:0 28px}
header{padding-top:36px}
.over{font-size:12px;letter-spacing:.09em;text-transform:uppercase;color:var(--muted);margin:0 0 6px;
font-weight:600}
h1{font-size:30px;line-height:1.2;letter-spacing:-.015em;margin:0 0 10px;font-weight:650;overflow-wrap:anywhere}
h2{font-size:21px;line-height:1.25;letter-spacing:-.01em;margin:0 0 4px;font-weight:650}
h3{font-size:14px;line-height:1.35;margin:0 0 10px;font-weight:600}
p{margin:0 0 10px}
.sub{color:var(--muted);margin:0 0 14px;overflow-wrap:anywhere}
.lead{color:var(--muted);max-width:78ch;margin:0 0 16px}
.caption{color:var(--muted);font-size:13px;line-height:1.45;margin:10px 0 0;max-width:90ch}
nav{display:flex;gap:4px 18px;flex-wrap:wrap;margin:18px 0 0;padding:10px 0;
border-top:1px solid var(--rule);border-bottom:1px solid var(--rule);font-size:13.5px}
a{color:var(--blue);text-decoration:none}
a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px;border-radius:3px}
section{margin:44px 0 0}
.grid{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(352px,100%),1fr));margin-top:16px}
.card{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:16px 18px;min-width:0}
.card.wide,.grid>.wide{grid-column:1/-1}
section>.card{margin-top:16px}
.badge{display:inline-block;font-size:12px;line-height:1;font-weight:600;padding:5px 9px;border-radius:99px;
border:1px solid var(--rule);margin:0 6px 6px 0;background:var(--paper)}
.badge.kind{background:var(--ink);color:var(--page);border-color:var(--ink)}
.badge.warn{background:var(--warn-paper);border-color:var(--warn-rule)}
.first{background:var(--warn-paper);border:1px solid var(--warn-rule);border-radius:10px;padding:14px 18px;
margin:16px 0 0}
.first h2{font-size:15px;letter-spacing:0;margin:0 0 6px}
.first ul{margin:0;padding:0 0 0 18px;max-width:105ch}
.first li{margin:3px 0;overflow-wrap:anywhere}
.note{font-size:13.5px;padding:9px 13px;border-radius:8px;background:var(--info-paper);margin:14px 0 0;
max-width:110ch;overflow-wrap:anywhere}
.note.warn{background:var(--warn-paper)}
.headline{display:grid;grid-template-columns:minmax(250px,310px) minmax(0,1fr);gap:12px 36px;align-items:start}
.big{font-size:42px;line-height:1.1;font-weight:650;letter-spacing:-.025em;margin:2px 0 8px}
.big small{font-size:18px;letter-spacing:0}
.big .num.unknown,.big .num.few{font-size:22px}
.facts{margin:0;display:grid;grid-template-columns:auto auto;gap:5px 16px;font-size:14px}
.facts dt{color:var(--muted)}
.facts dd{margin:0;text-align:right}
.scroll{overflow-x:auto;max-width:100%;margin:0 -4px;padding:0 4px;
background:linear-gradient(to left,var(--paper) 30%,transparent) right/36px 100% no-repeat local,
linear-gradient(to left,var(--shade),transparent) right/12px 100% no-repeat scroll}
table{border-collapse:collapse;width:100%;font-size:13.5px;line-height:1.35}
th,td{padding:6px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:500;color:var(--muted);font-size:12.5px;vertical-align:bottom;
border-bottom-color:var(--gray)}
thead th[title]{text-decoration:underline dotted var(--gray);text-underline-offset:3px;cursor:help}
tbody th{font-weight:500}
tbody tr:last-child>*{border-bottom:0}
tbody tr.total>*{border-top:1px solid var(--gray);font-weight:650}
tbody tr.base>*{background:var(--tint);font-weight:650}
tbody tr.dim>*{color:var(--muted)}
.words,td.words{text-align:left}
td[colspan]{text-align:center}
td.wrap,th.wrap{white-space:normal;overflow-wrap:anywhere;min-width:16ch}
.none{color:var(--muted)}
.num{white-space:nowrap}
.num.gain{color:var(--blue)}
.num.loss{color:var(--vermilion)}
.range .num{color:inherit}
.range{white-space:nowrap}
.num.unknown,.num.few{color:var(--muted);font-style:italic;font-weight:400}
svg.plot{display:block;width:100%;height:auto;font-family:var(--font)}
svg.plot *{stroke-linejoin:round;stroke-linecap:butt}
svg.plot text{stroke:none;fill:var(--ink)}
img.plot{display:block;width:100%;height:auto}
.narrow{display:none}
details{margin-top:12px}
summary{cursor:pointer;font-size:13.5px;color:var(--blue);padding:4px 0}
details>div{margin-top:8px}
pre{margin:8px 0 0;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
background:var(--tint);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;
white-space:pre-wrap;overflow-wrap:anywhere}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:13px;padding-top:36px;padding-bottom:48px}
@media screen and (max-width:760px){
body{font-size:15px}
main,header,footer{padding-left:16px;padding-right:16px}
header{padding-top:22px}
h1{font-size:23px}
h2{font-size:19px}
nav{flex-wrap:nowrap;overflow-x:auto;white-space:nowrap}
section{margin-top:34px}
.card{padding:14px}
.headline{grid-template-columns:minmax(0,1fr)}
.big{font-size:36px}
.only-wide{display:none}
.narrow{display:block}
tbody th:first-child,thead th:first-child{position:sticky;left:0;background:var(--paper);min-width:8em;max-width:46vw;
white-space:normal;overflow-wrap:break-word;z-index:1;padding-right:8px}
tbody tr.base th:first-child{background:var(--tint)}
th:first-child code{overflow-wrap:anywhere}
.scroll{margin:0 -14px;padding:0 14px}
}
@media print{
@page{margin:14mm}
body{background:#fff;font-size:10.5pt}
main,header,footer{max-width:none;padding:0}
nav,summary{display:none}
details::details-content{content-visibility:visible;height:auto}
.card,.first,.note,tr{break-inside:avoid}
.card{border-color:#ccc}
h2,h3,.lead{break-after:avoid;break-inside:avoid}
.grid{break-inside:avoid;break-before:avoid}
section{margin-top:26px}
.scroll{overflow:visible}
table{font-size:8pt}
th,td{padding:3px 6px}
.grid{grid-template-columns:1fr 1fr}
.headline{grid-template-columns:60mm minmax(0,1fr);gap:6mm}
.facts{font-size:8.5pt;gap:2px 3mm}
.facts dt{white-space:nowrap}
.big{font-size:24pt;white-space:nowrap}
#settings pre{columns:3;font-size:6pt;line-height:1.25}
}
"""


def style_sheet() -> str:
    """Return the page's CSS, colours first."""
    tones = [*((name, *pair) for name, pair in COLORS.items()), *_TONES]
    light = ";".join(f"--{name}:{day}" for name, day, _ in tones)
    dark = ";".join(f"--{name}:{night}" for name, _, night in tones)
    font = 'Inter,"Segoe UI",system-ui,-apple-system,Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif'
    return (
        f":root{{color-scheme:light dark;--font:{font};{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{_SHEET.strip()}\n"
    )
