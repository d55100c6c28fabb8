package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// Cluster is how a node reaches the others.
type Cluster struct {
	// RedisURL is the Redis that the nodes share. It may contain a password.
	RedisURL string
	// Name tells clusters on one Redis apart.
	Name string
	// Keys authenticate messages between nodes: the first signs, all verify. Without keys, messages
	// aren't signed.
	Keys [][]byte
	// Advertise is where other nodes reach the public listener, as far as that is configured.
	Advertise Advertise
	// Emitter makes the node deliver what the official Socket.IO emitters publish.
	Emitter bool
}

// cluster returns nil for a single node.
func (f *Flags) cluster(p *problems) *Cluster {
	if f.RedisURL == "" {
		if f.RedisEmitter {
			p.addf("--redis-emitter also needs --redis-url, the Redis that the emitters publish on")
		}
		return nil
	}
	if _, err := redis.New(redis.Options{URL: f.RedisURL}); err != nil {
		p.addf("--redis-url is not the URL of a Redis, such as redis://127.0.0.1:6379 or rediss://user:password@redis.example.com:6379/0: %s", urlProblem(f.RedisURL))
	}
	if !cluster.ValidName(f.ClusterName) {
		p.addf("--cluster-name %q must consist of letters, digits, '-', '_' and '.'", f.ClusterName)
	}
	keys := make([][]byte, len(f.ClusterKey))
	for i, text := range f.ClusterKey {
		keys[i] = []byte(text)
	}
	if err := cluster.CheckKeys(keys); err != nil {
		p.addf("cluster_key: %s", err)
	}
	at, err := parseAdvertise(f.Advertise)
	p.add(err)
	return &Cluster{RedisURL: f.RedisURL, Name: f.ClusterName, Keys: keys, Advertise: at, Emitter: f.RedisEmitter}
}

// urlProblem says what is wrong with the URL of a Redis, without quoting what may be secret.
func urlProblem(raw string) string {
	scheme, _, found := strings.Cut(raw, "://")
	known := []string{"redis", "rediss", "valkey", "valkeys", "unix"}
	switch {
	case !found:
		return "it doesn't begin with redis://"
	case !slices.Contains(known, scheme):
		return fmt.Sprintf("it begins with %s://", scheme)
	case strings.Contains(raw, "master_set=") || strings.Contains(raw, "sentinel_"):
		return "with sentinels, master_set is their name for the master, as in redis://sentinel-1:26379/?master_set=mymaster&addr=sentinel-2:26379"
	default:
		return "only the number of a database may follow the host and port; escape special characters in the password: %40 for @, %2F for /"
	}
}

// clusterWarnings warns of a missing or unused cluster key, and of an unused address.
func (f *Flags) clusterWarnings() []string {
	switch {
	case f.RedisURL == "" && f.Advertise != "":
		return []string{"advertise: is set, but --redis-url isn't, so this node is alone"}
	case f.RedisURL == "" && len(f.ClusterKey) > 0:
		return []string{"cluster_key: is set, but --redis-url isn't, so this node is alone"}
	case f.RedisURL != "" && len(f.ClusterKey) == 0 && !f.Dev:
		return []string{"cluster_key: isn't set, so whoever can write to the Redis can pose as a node; make a key with \"openssl rand -hex 32\" and set the same one on every node"}
	}
	return nil
}

// isRedis reports whether the path of a URL with this scheme must be the number of a database.
func isRedis(scheme string) bool {
	return slices.Contains([]string{"redis", "rediss", "valkey", "valkeys"}, scheme)
}

func isDatabase(path string) bool {
	return strings.Trim(strings.TrimPrefix(path, "/"), "0123456789") == ""
}

// maskURL shows a URL without its password and its query, which may contain one.
func maskURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return ""
	case err != nil || u.Opaque != "" || u.Scheme == "":
		return masked
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return masked // "redis://user:password" lacks its host
	case isRedis(u.Scheme) && !isDatabase(u.Path):
		return masked // so do "redis://user:/password" and "redis://user:1/password"
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		name := masked + "@" // a lone name could be a password without its colon
		if _, both := u.User.Password(); both {
			name = u.User.Username() + ":" + name
		}
		shown += name
	}
	shown += u.Host + u.Path
	if u.RawQuery != "" {
		shown += "?" + masked
	}
	return shown
}
