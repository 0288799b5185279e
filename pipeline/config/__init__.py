"""config.yaml: its meaning as frozen typed models, reading it, telling its mistakes, and its JSON schema."""
