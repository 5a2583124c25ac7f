"""What a person sees of a running job: live on a terminal, plain lines elsewhere, and a summary at the end."""
