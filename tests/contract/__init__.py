"""The HTTP contract as its OpenAPI document tells it: asked by machines, over real HTTP, of a whole installation."""
