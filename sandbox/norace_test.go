//go:build !race

package sandbox_test

// enough memory for the attacker, and not for the attack.
const enough = 8 << 30
