"""What programs can tell about an app's requirements: from its source, and from what it answers while it runs."""
