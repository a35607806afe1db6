//go:build !race

package sandbox_test

// detector says that these tests run under the race detector.
const detector = false
