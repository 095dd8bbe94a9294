"""From one configuration to the next: `changer` applies a change, `restore` rebuilds one from a snapshot.

Both are pure: they compute a new (Configuration, progress map) and leave it to the caller to install it.
"""
