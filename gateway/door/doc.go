// Package door decides which connections are served at all, before anything is read
// from them: how many peers may be on their way in, in all and from one source, and
// which sources have failed so often that they stay outside for a while.
//
// A source is an address, or for IPv6 the network of one subscriber. Each failure
// adds time to its penalty, and time takes it away. From a minimum on the source is
// barred until all of it is gone. Failures count for the IPv6 networks around a
// source too, so that whoever has many sources gains nothing by changing them.
//
// A peer behind an address that others share must not be locked out by them. Who it
// is stands in its key, and a key is known only after the cryptography that a barred
// source is to be kept from; so a bar is narrow rather than shut. A source that a
// client signed in from in the last weeks, or that one is expected from, has half of
// its places while it is barred, and none is kept for good: who is longest there gives
// way to the next. Any other has one connection let in every few seconds. Strangers and
// known sources are counted apart, too, so that a flood of the former leaves the latter
// their places.
//
// Nothing here is written to a disk but by a [Keeper], and nothing records: the
// caller does.
package door
