//go:build race

package sandbox_test

// enough memory for the attacker: the race detector reserves most of the address
// space.
const enough = 1 << 62
