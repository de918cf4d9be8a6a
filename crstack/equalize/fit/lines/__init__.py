"""Terms along rows and columns, and the lines and traces that they describe."""
