"""The checker: judges a run from what it left behind. It imports nothing of the product and shares no code with it."""
