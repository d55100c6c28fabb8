// Package config finds out how a broker is to run: from flags, environment
// variables and a YAML file, in this order of precedence, over the defaults.
//
// [Flags] is what the command line declares. While it is parsed, the file that
// --config names is read ([File]) and gives values to the flags that neither
// the command line nor the environment sets. [Flags.Build] checks the whole and
// returns a [Config], which holds what the broker and its listeners need.
package config
