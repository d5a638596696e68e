"""How the stores come to their present shape, step by step."""
