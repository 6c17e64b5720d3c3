//! Frames: a kind byte and a postcard body, limited by kind before anything is parsed.

/// Why a frame cannot be taken. Each of these ends the connection.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// It has no kind byte.
    #[error("an empty frame")]
    Empty,
    /// It is larger than its kind may be.
    #[error("a frame of kind {kind} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The kind byte.
        kind: u8,
        /// Its size.
        bytes: usize,
        /// The limit of the kind.
        limit: usize,
    },
    /// Its body is not what its kind says.
    #[error("a frame of kind {0} cannot be decoded")]
    Malformed(u8),
    /// A message of ours is larger than its kind may be.
    #[error("a message of kind {kind} would have {bytes} bytes, at most {limit} are allowed")]
    Unsendable {
        /// The kind byte.
        kind: u8,
        /// Its size.
        bytes: usize,
        /// The limit of the kind.
        limit: usize,
    },
}

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// A message.
    Message(T),
    /// A kind this version does not know: it is skipped.
    Unknown(u8),
}

/// Defines the messages of one direction: an enum, its kind bytes and their limits, and the
/// coding between frames and messages.
macro_rules! messages {
    (
        $(#[$meta:meta])*
        $name:ident, at most $most:literal bytes {
            $($(#[$doc:meta])* $kind:literal => $variant:ident($body:ty) <= $limit:expr,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$doc])* $variant($body),)+
        }

        impl $name {
            /// The most bytes of any frame in this direction, for the WebSocket's own limit.
            pub const MAX_FRAME: usize = $most;

            /// The name of the message, for logs and counters.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)+ }
            }

            /// The name of the message that a frame holds, by its kind alone.
            pub fn name_of(frame: &[u8]) -> Option<&'static str> {
                match frame.first()? {
                    $($kind => Some(stringify!($variant)),)+
                    _ => None,
                }
            }

            /// Encodes the message as a frame.
            pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
                match self {
                    $(Self::$variant(body) => {
                        let frame = postcard::to_extend(body, vec![$kind])
                            .map_err(|_| FrameError::Malformed($kind))?;
                        if frame.len() > $limit {
                            return Err(FrameError::Unsendable { kind: $kind, bytes: frame.len(), limit: $limit });
                        }
                        Ok(frame)
                    })+
                }
            }

            /// Decodes a frame; its size is checked first.
            pub fn decode(frame: &[u8]) -> Result<Received<Self>, FrameError> {
                let (&kind, body) = frame.split_first().ok_or(FrameError::Empty)?;
                match kind {
                    $($kind => {
                        if frame.len() > $limit {
                            return Err(FrameError::TooLarge { kind, bytes: frame.len(), limit: $limit });
                        }
                        let body: $body = postcard::from_bytes(body).map_err(|_| FrameError::Malformed(kind))?;
                        Ok(Received::Message(Self::$variant(body)))
                    })+
                    _ if frame.len() > $most => Err(FrameError::TooLarge { kind, bytes: frame.len(), limit: $most }),
                    _ => Ok(Received::Unknown(kind)),
                }
            }
        }
    };
}

pub(super) use messages;
