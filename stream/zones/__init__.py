"""Where in a camera's picture something happens: zones and how long, lines and which way, masks."""
