"""What a learner reads in explorers, apart from the logic, so that a second language can stand beside it."""
