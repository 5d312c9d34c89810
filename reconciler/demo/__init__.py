"""The demo: the product's main job on parts that it starts itself, told step by step."""
