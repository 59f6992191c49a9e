"""What the bridge stands on, asked one by one; stores, sends and changes nothing."""
