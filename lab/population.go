package lab

// DefaultMix is a population for demonstrations.
func DefaultMix() []Share { return []Share{{Behaviour: Healthy, Weight: 1}} }
