"""What the product does: the straight line, the loop around it, and the actions and queries that the faces call."""
