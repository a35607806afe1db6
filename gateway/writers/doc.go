// Package writers has sessions that write in the same folders take turns where a rule
// says so: one writes at a time, the others wait in the order in which they came.
//
// Two things hold that. Within one gateway it is a list of who writes and who waits.
// Between gateways, as while one takes over from another, it is locks of the kernel
// on the folders themselves (flock): they leave nothing behind on the disk, and they
// end with the process that holds them, whatever becomes of it. Children do not
// inherit them. Neither rsync nor borg locks folders that way; another program that
// does is waited for too.
package writers
