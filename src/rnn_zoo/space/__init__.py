"""A page that shows checkpoints, on this machine or as a Space of the Hugging Face Hub."""
