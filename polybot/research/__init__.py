"""Research on recorded data: what the model's numbers were fitted on, and how good its forecasts are."""
