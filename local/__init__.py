"""The product on one machine: an AWS emulator, a world of DNS and HTTPS, the real template."""
