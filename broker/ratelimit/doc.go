// Package ratelimit measures what clients take: how much of something in how much time ([Bucket]),
// how many connections and handshakes an address has ([Addresses]), how many bytes are buffered for
// an address ([Holds]), and how much of a shared amount each owner holds ([Shares]). It only says
// when that is too much; callers decide what follows.
package ratelimit
