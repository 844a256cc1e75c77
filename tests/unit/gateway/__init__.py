"""Gateway: the Guard, the server below it, errors and the web app."""
