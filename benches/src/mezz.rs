//! Mounts of one S3 object side by side: ours, s3fs, rclone.

pub mod blank;
pub mod children;
pub mod mounts;
pub mod patterns;
pub mod proxy;
pub mod server;
