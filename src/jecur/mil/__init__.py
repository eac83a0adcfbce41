"""Multiple-instance learning at scoring time: bags, tile scores, one risk a patient. No torch."""
