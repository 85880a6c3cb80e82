"""What each metric can see: the truth is damaged in graded doses, and every protocol's response measured."""
