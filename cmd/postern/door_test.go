package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"postern/configs"
	"postern/gateway/door"
)

// A file that says nothing of the door, and a door that is told nothing, mean the
// same.
func TestDoorDefaults(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "postern.yaml")
	if err := os.WriteFile(file, []byte("state: state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "clients.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		door.Startups{Start: c.Door.Start, Rate: c.Door.Rate, Full: c.Door.Full}, c.Door.PerSource,
		c.Door.IPv4Bits, c.Door.IPv6Bits, door.Penalties(c.Door.Penalties),
	}
	want := []any{door.DefaultStartups(), door.DefaultPerSource, door.DefaultIPv4Bits, door.DefaultIPv6Bits, door.DefaultPenalties()}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the files' defaults are %+v, and the door's are %+v", got, want)
	}
}
