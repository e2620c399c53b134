"""What the tasks that measure are made of: real and generated images, their likelihood, their features."""
