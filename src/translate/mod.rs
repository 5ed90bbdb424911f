//! STUB by the founder so that main compiles; the owner of this room replaces the whole file with theirs.
#![allow(missing_docs)]
use crate::model::{fault::Fault, pb::{self,Business}, problem::{Problem,Violation}};
use std::path::{Path,PathBuf};
pub struct Translator; pub struct Format; pub struct SealKey; #[derive(Clone,Copy)] pub enum Wire{Json,Xml}
impl Wire { pub fn sniff(_:&[u8])->Self{Self::Json} }
#[derive(Clone,Copy,Default)] pub enum Kind{#[default]Application,Event,Result}
#[derive(Clone,Default)] pub struct Head{pub message_number:String,pub business:Business,pub kind:Kind,pub message_type:Option<String>,pub sender:Option<String>,pub receiver:Option<String>,pub accepting_division:Option<String>,pub home_division:Option<String>,pub case_number:Option<String>,pub application_id:Option<String>,pub sequence:Option<String>,pub sent_at:Option<prost_types::Timestamp>,pub nonce:Option<String>,pub key_id:Option<String>,pub sign_algorithm:Option<String>,pub idempotency_key:Option<String>,pub version:Option<String>}
pub struct Message{pub head:Head}
#[derive(Default)] pub struct Reply{pub stored:bool,pub message:String,pub message_number:String,pub application_id:String,pub state:String,pub reason:String,pub violations:Vec<Violation>,pub trace_id:String}
pub enum Answer{Stored,Refused{code:String,message:String},NotUnderstood} pub enum Status{Stored,Unknown,NotUnderstood}
impl SealKey{pub fn new(_:&[u8])->Self{Self}}
impl Translator{pub fn load(_:&Path,_:&[(String,PathBuf,Vec<String>)])->Result<Self,Vec<Fault>>{Ok(Self)} pub fn format(&self,_:&str)->Option<&Format>{None}}
impl Format{pub fn open(&self,_:&[u8],_:Option<Wire>)->Result<Message,Problem>{unreachable!()} pub fn wire(&self,_:Business)->Wire{Wire::Json}
pub fn read_application(&self,_:&Message)->(pb::Application,Vec<Violation>){unreachable!()} pub fn read_event(&self,_:&Message)->(pb::ApplicationEvent,Vec<Violation>){unreachable!()}
pub fn write_application(&self,_:&Head,_:&pb::Application,_:Option<&SealKey>)->Result<Vec<u8>,String>{unreachable!()} pub fn write_event(&self,_:&Head,_:&pb::ApplicationEvent,_:Option<&SealKey>)->Result<Vec<u8>,String>{unreachable!()}
pub fn verify(&self,_:&Message,_:&SealKey)->Result<(),Problem>{unreachable!()} pub fn answer(&self,_:Wire,_:&[u8])->Answer{unreachable!()} pub fn status(&self,_:Wire,_:&[u8])->Status{unreachable!()}
pub fn reply(&self,_:Wire,_:&Reply)->Vec<u8>{unreachable!()} pub fn their_path(&self,_:Kind,_:Business,_:&str)->Option<String>{None} pub fn head_path(&self,_:&str)->Option<String>{None}}
