"""Every message that crosses a service border, as frozen classes. A change is additive, or a new class."""
