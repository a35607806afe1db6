package gateway

import (
	"bytes"
	"testing"
)

// What the gateway has to say waits for the end of a line, and comes to nothing once it
// has said why the session ends.
func TestNothingIsSaidBehindTheEnd(t *testing.T) {
	var client bytes.Buffer
	o := &outlets{complaints: &outlet{to: &client}, inLine: true}
	o.interject("waits\n")
	if client.Len() > 0 {
		t.Errorf("within a line of the child it said %q", client.String())
	}
	o.conclude("ended\n")
	o.inLine = false
	o.speak()
	o.interject("late\n")
	if client.String() != "ended\n" {
		t.Errorf("it said %q", client.String())
	}
}
