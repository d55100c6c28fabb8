// Package ratelimit measures what clients take of the broker: how much of something
// in how much time, and how many connections for each address. It decides
// nothing but whether that is too much.
package ratelimit
