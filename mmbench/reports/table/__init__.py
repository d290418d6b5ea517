"""Tables as typed data and in every format, with the paper's own beside them."""
