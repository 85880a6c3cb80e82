"""Cycle losses: an extractor applied to the generated frame shall give back what the frame was drawn from.

The paper has none. Outside the face the condition is made of the true frame's edges, so an edge filter
closes the circle (`canny`). Inside it is a drawn sketch, which no filter finds in a picture: a network learns
to draw it (`sketch`), or to find the landmarks themselves (`landmarks`). Networks are trained on real frames,
before the generator, and then frozen.
"""
