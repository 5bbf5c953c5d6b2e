"""What runs a network besides JAX: choosing a runtime, networks of exported files, and int8 with its cost measured."""
