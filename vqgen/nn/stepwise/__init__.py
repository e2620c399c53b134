"""Networks position by position: the machinery of drawing."""
