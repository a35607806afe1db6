package gateway

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"postern/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main(os.Args)
	goleak.VerifyTestMain(m)
}
