// Package forward sends the events of a subscription to a URL, as CloudEvents over HTTP, and answers
// them with what the URL returns. It is what "sala forward" does.
//
// [Forwarder] holds the subscription and opens another when it breaks. [Target] is the URL: it signs,
// sends and retries. [lanes] keep the events of a socket in order.
package forward
