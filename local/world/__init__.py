"""The simulated world: DNS, web, CDN and senders on loopback addresses, without product code."""
