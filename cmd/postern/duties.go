package main

import (
	"context"

	"postern/audit"
	"postern/audit/sender"
	"postern/gateway"
	"postern/gateway/door"
)

// duties are what one gateway of a state folder does: during an upgrade the newest. They
// are for one goroutine at a time.
type duties struct {
	app    *app
	trail  *audit.Trail
	folder string // of the trail
	to     []sender.Destination
	server *gateway.Server
	keeper *door.Keeper

	sending *sender.Sender
	stops   []func()
}

// send sends the trail elsewhere.
func (d *duties) send() (err error) {
	d.sending, err = sender.Start(d.trail, d.folder, d.to...)
	return err
}

// stopSending sends what is left.
func (d *duties) stopSending() {
	if d.sending != nil {
		d.sending.Stop()
		d.sending = nil
	}
}

// begin does what is done beside serving.
func (d *duties) begin() {
	ctx := context.Background()
	d.stops = []func(){startNoting(ctx, d.trail), startStatus(ctx, d.server), startWatchdog(ctx, d.server, d.trail)}
}

// end stops that.
func (d *duties) end() {
	for _, stop := range d.stops {
		stop()
	}
	d.stops = nil
}

// rest leaves all duties to another gateway.
func (d *duties) rest() {
	d.end()
	d.stopSending()
	_ = d.keeper.Leave() // what is not saved the next one has not got, and serves
}

// resume takes them up again.
func (d *duties) resume() {
	d.keeper.Return()
	if err := d.send(); err != nil {
		d.app.hint("postern: the trail is not sent elsewhere any more: %v", err)
	}
	d.begin()
}
