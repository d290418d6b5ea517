"""How work is spread over processes: knows no metric and no model."""
