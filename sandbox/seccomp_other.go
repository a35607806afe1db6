//go:build !amd64 && !arm64

package sandbox

// auditArchitecture is zero where no filter has been written: children are then
// started at level none or not at all.
const auditArchitecture = 0

var (
	architectureCalls   []uint32
	architectureChanges []uint32
	openCalls           map[uint32]uint32
)
