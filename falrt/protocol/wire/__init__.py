"""What stands on the wire: endpoint ids and URLs, messages, modes, tokens."""
