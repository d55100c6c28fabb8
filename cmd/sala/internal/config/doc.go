// Package config reads the configuration of a broker from flags, environment variables and a YAML
// file, in this order of precedence.
//
// [Flags] declares the flags. While kong parses them, it reads the file that --config names
// ([File]) and gives its values to the flags that neither the command line nor the environment
// sets. [Flags.Build] checks everything and returns a [Config] for the server.
package config
