"""From video files to prepared clips."""
