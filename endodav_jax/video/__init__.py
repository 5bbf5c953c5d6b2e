"""Reading video and images, and writing what a depth network makes of them."""
