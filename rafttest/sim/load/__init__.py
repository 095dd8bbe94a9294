"""What happens to a simulated cluster: requests of clients, faults, and the phase without faults at the end."""
