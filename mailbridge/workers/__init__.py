"""The door in processes of its own (``smtp.workers``); the queue and all behind it stay in the one that starts them."""
