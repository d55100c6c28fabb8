package engineio

// ownsDescriptors says that the server may write to the number of a socket itself.
const ownsDescriptors = true
